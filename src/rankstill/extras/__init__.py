"""What a finished chain is used for, and what runs it elsewhere. The core imports nothing from here."""
