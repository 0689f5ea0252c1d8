"""Speech: sound in and out, the prompts, what is trained on them, and how well it recognises and aligns."""
