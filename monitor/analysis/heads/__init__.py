"""What each head does: reductions of attention to a few numbers a head, and what is concluded from them."""
