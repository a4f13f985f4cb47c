"""PostgreSQL: users, how they stand to each other, likes, comments and their exact counts."""
