"""The course's site: sources from the lessons, the methods and the results, made into pages by Sphinx."""
