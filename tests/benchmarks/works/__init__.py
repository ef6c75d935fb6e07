"""The works of the page: each module has one, called WORK, and the ways of doing it."""
