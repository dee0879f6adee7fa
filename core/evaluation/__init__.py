"""The evaluation of prompts and models on datasets: runs, verdicts and gates."""
