"""How good is it: figures, and the page that shows them."""
