-- What the tokens of an order are bound to: JSON, such as {"ssh":"…"}; NULL: nothing.
ALTER TABLE standing_order ADD COLUMN confirmation TEXT;
