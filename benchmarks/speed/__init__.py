"""How fast: ours and the named peer, alternately in one run, with what became of the quality."""
