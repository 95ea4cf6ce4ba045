"""VideoLSTM (Li et al. 2016): its ablation, from single frames to attention that follows motion."""
