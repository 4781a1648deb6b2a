"""Market maths, online: small states and a step that sees one closed bar."""
