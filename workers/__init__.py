"""Short runnable services; what they are made of lives in ``streamzarr``."""
