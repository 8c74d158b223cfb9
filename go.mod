module github.com/millrace-mq/millrace

go 1.26
