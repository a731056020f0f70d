"""The pages of a store: each shows what one command answers, and has its JSON at the same address with ``.json``."""
