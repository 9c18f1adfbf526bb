"""Gates: what a merged model must show before it is published."""
