"""What is written for people from what was measured: the checkpoints' cards, the README's tables.

The texts are the templates in ``templates/``; the modules here say what goes into them.
"""
