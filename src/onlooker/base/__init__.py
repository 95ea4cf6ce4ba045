"""What does not depend on video: settings, records, files, text, intervals, parallel work,
progress.

Every package may import it; it imports none of them. Begin with `records`, which other packages
exchange, and `settings`, how an option documents and checks itself.
"""
