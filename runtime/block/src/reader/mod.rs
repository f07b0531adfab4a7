mod parquet;
