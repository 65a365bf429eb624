"""Looks at judged messages: which there were, what each costs, and when they are worn out."""
