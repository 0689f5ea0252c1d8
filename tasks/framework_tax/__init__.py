"""Framework tax: latency by runtime, each in a process of its own, and what of it the framework takes."""
