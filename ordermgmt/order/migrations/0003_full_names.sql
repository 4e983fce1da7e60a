-- What the token called the user in full; NULL if it did not, or if the change is from before.
ALTER TABLE journal ADD COLUMN full_name TEXT;
ALTER TABLE changes ADD COLUMN full_name TEXT;
