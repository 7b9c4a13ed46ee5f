class Csv: name='CSV'
class Yaml: name='YAML'
