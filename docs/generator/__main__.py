"""``python -m docs.generator``: write the reference anew."""

from docs.generator.reference import write

write()
