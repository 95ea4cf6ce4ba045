"""Digits in motion (Shan & Atanasov 2017): every table and figure, and open questions."""
