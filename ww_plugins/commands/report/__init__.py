"""``ww report``: what is stored of models, in one file to hand on."""
