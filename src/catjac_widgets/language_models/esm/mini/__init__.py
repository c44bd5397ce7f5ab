"""The embedded model `mini`: its weights, its card, and which proteins it has learnt."""
