class Indexes: name='indexes'
