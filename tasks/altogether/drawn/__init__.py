"""Pictures, drawn from the files that packages carry."""
