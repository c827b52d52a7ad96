"""The page and the JavaScript client, as browsers get them; there is no Python here."""
