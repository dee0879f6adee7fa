"""Work that survives the end of its process: begun, watched over, taken up, settled, whatever kind of work it is."""
