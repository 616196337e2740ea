"""Stand-ins for what lies outside: real protocols, scripted behaviour."""
