"""The two halves of the path: ``accept`` while the client waits, ``deliver`` afterwards.

``assess`` judges for both, for ``release`` (a person lets a held copy go) and for ``explain``;
``generated`` is the way in for mail that the relay itself writes.
"""
