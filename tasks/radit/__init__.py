"""RA-DIT: tasks over an encyclopedia, a language model and a retriever that are tuned apart, and answers of both."""
