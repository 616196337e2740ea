"""What thinks: chat models, embedders, prices, weights and local serving."""
