"""From data frames to charts. No streamlit in here."""
