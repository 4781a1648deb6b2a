"""Smart money concepts, online: what each is stands in docs/smc.md, one file per concept."""
