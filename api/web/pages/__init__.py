"""Pages for people: what each shows comes from the same query and the same documents as the JSON at its address."""
