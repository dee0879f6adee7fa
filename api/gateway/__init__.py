"""The gateway: what all wires share, and a folder for each wire."""
