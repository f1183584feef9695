"""Files of books: reading what booksellers have, whatever wrote it, and writing files for spreadsheets."""
