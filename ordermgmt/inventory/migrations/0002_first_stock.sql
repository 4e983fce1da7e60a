INSERT INTO item (category, code, name, price, qty) VALUES
    ('electronics', 'APMBA132021', 'Apple MacBook Air M1 13-inch 2021', 124900, 32),
    ('electronics', 'SOWH1000XM4', 'Sony WH-1000XM4', 34999, 75),
    ('books', '978-1617295959', 'Microservices Security in Action', 5099, 10),
    ('books', '978-1484220498', 'Advanced API Security', 1539, 10);
