"""On top of the teacher: what to know before one pays it, and what it is asked beside rankings."""
