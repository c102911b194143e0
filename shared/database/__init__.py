"""The source of truth: movies, ratings and tags in SQLite or PostgreSQL."""
