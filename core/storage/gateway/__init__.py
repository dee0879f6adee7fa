"""Keys, logins, rate limits, circuit breakers, and answers to repeated requests."""
