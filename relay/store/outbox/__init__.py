"""What senders' software is told, and the doors by which it tells us."""
