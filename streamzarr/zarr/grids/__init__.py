"""How an array is cut into chunks, and how their keys are made."""
