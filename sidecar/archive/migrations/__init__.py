"""The steps of the schema, oldest first. A step that was released never changes; there is no way back."""
