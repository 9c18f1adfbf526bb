"""A results folder or a card's evidence: its figures and their verification."""
