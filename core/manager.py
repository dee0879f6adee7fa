class ModelManager: pass
