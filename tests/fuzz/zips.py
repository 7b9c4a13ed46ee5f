class Zips: name='zips'
