class Models: name='models'
