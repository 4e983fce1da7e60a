-- When the batch was sent that brought the operation. NULL for one that came without a date: nothing tells how old a copy
-- of it may be, so it is never forgotten.
ALTER TABLE operation ADD COLUMN sent_at DOUBLE PRECISION;

-- When the sender said that it will never ask for the outcome again, by the time of the database. NULL until then.
ALTER TABLE operation ADD COLUMN acknowledged_at DOUBLE PRECISION;

-- For finding what may be forgotten. What is not acknowledged is not in it.
CREATE INDEX operation_acknowledged ON operation (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
