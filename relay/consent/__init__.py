"""The life of a consent: asked, confirmed, recorded, used, withdrawn, shown, proven, erased.

Services above the store and below the commands: the pages, the API and the command line all come
through here, so that they cannot disagree.
"""
